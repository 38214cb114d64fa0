#!/bin/sh
printf 'Content-Type: application/json\r\n\r\n'
printf '{"service": "api", "host": "%s", "path": "%s"}\n' "$(hostname)" "${PATH_INFO:-/}"
