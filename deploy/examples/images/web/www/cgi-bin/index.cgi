#!/bin/sh
printf 'Content-Type: text/html\r\n\r\n'
printf '<!doctype html>\n<title>shop</title>\n<h1>The shop</h1>\n'
printf '<p>served by %s</p>\n' "$(hostname)"
