// SPDX-License-Identifier: GPL-2.0
//
// usage: apps_http ADDRESS PORT DIRECTORY
//
// HTTP server: GET sends a file of the directory, POST what was posted.
package main

import (
	"io"
	"log"
	"net"
	"net/http"
	"os"
)

// A server of HTTP/1 answers when it has read all, or the client's rest is thrown away
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		log.Print(err)
		return
	}
	w.Write(body)
}

func main() {
	http.Handle("/", http.FileServer(http.Dir(os.Args[3])))
	http.HandleFunc("/echo", echo)
	log.Fatal(http.ListenAndServe(net.JoinHostPort(os.Args[1], os.Args[2]), nil))
}
