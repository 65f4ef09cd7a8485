// An HTTP echo service as a Node.js program writes it. usage: node echo.js PORT
'use strict';
require('http')
  .createServer((request, response) => {
    response.setHeader('content-type', 'text/plain');
    response.setHeader('content-length', Buffer.byteLength(request.url));
    response.end(request.url);
  })
  .listen(Number(process.argv[2]));
