#!/bin/sh
# A copy of a data set that is right or says so, from cron:
#
#     41 3 * * *  /opt/mirror/mirror.sh /opt/mirror/SHA256SUMS https://example.org/data/ /var/lib/data
#
# The manifest is yours, from somebody you trust: what it says decides, whatever the server sends. A file that is there
# costs nothing, one that was interrupted goes on where it stopped. One whose line changed is moved to FOLDER.old/DAY
# before the new one comes. On Sundays every file is read again, and damaged bytes, only those, are fetched anew.
# FOLDER.log tells of each file; errors, which cron mails, come only when somebody should look. Further arguments go to
# `crawl download`; what `crawl verify` needs beside, such as --allow-address, goes into MIRROR_VERIFY_OPTIONS.
set -eu

usage='usage: mirror.sh MANIFEST BASE_URL FOLDER [OPTION...]'
manifest=${1:?$usage}
base=${2:?$usage}
folder=${3:?$usage}
shift 3

mkdir -p "$folder"
exec 9>"$folder.lock"
flock -n 9 || exit 0 # the night before is still at it

last=$folder.manifest
if [ -e "$last" ]; then
    old=$folder.old/$(date -u +%Y-%m-%d)
    grep -vxFf "$manifest" "$last" | while IFS= read -r line; do
        name=${line#* } # "HEX  NAME", or "HEX *NAME" of what was hashed in binary
        name=${name#[ *]}
        case /$name/ in */../* | */./* | //*) continue ;; esac
        [ -f "$folder/$name" ] || continue
        mkdir -p "$old/$(dirname "$name")"
        mv "$folder/$name" "$old/$name"
        # and its receipt: else `crawl verify --repair` would miss the file and fetch it again
        rm -f "$folder/.crawlmill/receipts/$(printf %s "$name" | sed 's/%/%25/g; s,/,%2F,g').json"
    done
fi
cp "$manifest" "$last"

code=0
: >"$folder.log"
if [ "${MIRROR_VERIFY:-$(date -u +%u)}" = 7 ] && [ -d "$folder/.crawlmill/receipts" ]; then
    # shellcheck disable=SC2086  # several words
    crawl verify --quiet --repair ${MIRROR_VERIFY_OPTIONS:-} "$folder" >>"$folder.log" || code=$?
fi
crawl download --quiet --require-digest --input "$manifest" --base "$base" --directory "$folder" "$@" \
    >>"$folder.log" || code=$?
exit "$code"
