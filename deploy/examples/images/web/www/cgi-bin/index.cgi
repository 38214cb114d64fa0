#!/bin/sh
# Who answers, and with API=URL what the API said when it was asked: "api" is a name in the network.
printf 'Content-Type: text/html\r\n\r\n'
printf '<!doctype html>\n<title>shop</title>\n<h1>The shop</h1>\n'
printf '<p>served by %s</p>\n' "$(hostname)"
[ -n "${API:-}" ] || exit 0
answer=$(timeout 3 wget -q -O - "$API/cgi-bin/index.cgi" 2>/dev/null | tr -d '<>&')
case $answer in
*'"store": "'*)
    starts=${answer##*: }
    printf '<p>api %s asked store %s, start number %d</p>\n' \
        "$(echo "$answer" | sed 's/.*"host": "\([^"]*\)".*/\1/')" \
        "$(echo "$answer" | sed 's/.*"store": "\([^"]*\)".*/\1/')" "${starts%\}}"
    ;;
'{'*) printf '<p>the store did not answer the api</p>\n' ;;
*) printf '<p>the api did not answer</p>\n' ;;
esac
