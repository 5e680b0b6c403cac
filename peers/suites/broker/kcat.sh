#!/usr/bin/env bash
# Judges a broker with kcat: kcat.sh produce|read BOOTSTRAP [WRITER]. Steps, records and output as in confluent.py.
set -uo pipefail
bootstrap=$2 records=300
codecs="none gzip snappy lz4 zstd"

expected() {
  awk -v n="$records" 'BEGIN { for (i = 0; i < n; i++) {
    pad = ""; for (j = 0; j < i % 50 * 20; j++) pad = pad "x"; printf "key-%d\tvalue-%d %s\n", i, i, pad } }'
}

result() { # NAME STATUS FILE_WITH_THE_REASON
  if [ "$2" = 0 ]; then echo "ok kcat $1"; else echo "FAILED kcat $1: $(tail -1 "$3")"; fi
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
expected >"$scratch/expected"
for codec in $codecs; do
  case $1 in
    produce)
      timeout 60 kcat -P -b "$bootstrap" -t "kcat-$codec" -p 0 -z "$codec" -K '\t' -H writer=kcat \
        -X enable.idempotence=true -X linger.ms=20 <"$scratch/expected" >"$scratch/out" 2>&1
      result "produces with $codec" $? "$scratch/out" ;;
    read)
      timeout 60 kcat -C -q -e -b "$bootstrap" -t "$3-$codec" -p 0 -o beginning -f '%h\t%k\t%s\n' >"$scratch/got" 2>"$scratch/out"
      status=$?
      if [ $status = 0 ] && ! cut -f 2- "$scratch/got" | cmp -s - "$scratch/expected"; then
        echo "the records differ from those written" >"$scratch/out"; status=1
      elif [ $status = 0 ] && [ "$(grep -c "^writer=$3" "$scratch/got")" != $records ]; then
        echo "the header 'writer' is missing" >"$scratch/out"; status=1
      fi
      result "reads what $3 wrote with $codec" $status "$scratch/out" ;;
  esac
done
