#!/bin/sh
# A fresh crawl every night, from cron:
#
#     17 2 * * *  /opt/crawls/cron.sh /opt/crawls/site.toml /var/lib/crawls
#
# A crawl that is not through when its time is up goes on the next night. One that is through is moved aside, under the
# day it was finished, and the next night begins anew. Says something, which cron mails, only when somebody should look.
set -eu

config=${1:?usage: cron.sh CONFIG FOLDER [MAX_TIME]}
folder=${2:?usage: cron.sh CONFIG FOLDER [MAX_TIME]}
max_time=${3:-5h}

code=0
crawl --quiet --max-time "$max_time" --out "$folder/current" "$config" || code=$?

case $code in
0) ;;                                                             # complete
3) echo "$config: too many pages failed: see errors.jsonl" >&2 ;; # finished nevertheless
4 | 5 | 130 | 143) exit 0 ;;                                      # goes on next time
*) exit "$code" ;;                                                # crawl has said what is wrong
esac

target=$folder/$(date -u +%Y-%m-%d)
number=1
while [ -e "$target" ]; do
    number=$((number + 1))
    target=$folder/$(date -u +%Y-%m-%d).$number
done
mv "$folder/current" "$target"
exit "$code"
