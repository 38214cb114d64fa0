#!/bin/sh
# Who answers, and with STORE=HOST:PORT what the store said when it was asked.
printf 'Content-Type: application/json\r\n\r\n'
printf '{"service": "api", "host": "%s", "path": "%s"' "$(hostname)" "${PATH_INFO:-/}"
if [ -n "${STORE:-}" ]; then
    answer=$(timeout 2 nc "${STORE%:*}" "${STORE##*:}" </dev/null 2>/dev/null)
    case $answer in
    "store "*" starts "*)
        name=${answer#store }
        printf ', "store": "%s", "starts": %d' "${name%% *}" "${answer##* }"
        ;;
    esac
fi
printf '}\n'
