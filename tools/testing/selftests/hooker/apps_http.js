// SPDX-License-Identifier: GPL-2.0
//
// usage: node apps_http.js ADDRESS PORT DIRECTORY
//
// HTTP server: GET sends a file of the directory, POST what was posted, as it comes.

'use strict';

const fs = require('fs');
const http = require('http');
const path = require('path');

const [address, port, directory] = process.argv.slice(2);

const server = http.createServer((request, response) => {
	if (request.method === 'POST') {
		request.pipe(response);
		return;
	}
	const file = fs.createReadStream(path.join(directory, path.basename(request.url)));

	file.on('error', () => {
		response.statusCode = 404;
		response.end();
	});
	file.pipe(response);
});

server.listen({ host: address, port: Number(port) });
