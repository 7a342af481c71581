#!/bin/sh
# test_word_index.sh PROGRAM - run word_index on a tree full of traps, and check what it says.
#
# Prints what failed, and exits with 1 if anything did. Leaves nothing behind.
set -u
LC_ALL=C
export LC_ALL

program=${1:?usage: test_word_index.sh PROGRAM}
case $program in /*) ;; *) program=$PWD/$program ;; esac
place=$(mktemp -d "${TMPDIR:-/tmp}/word_index.XXXXXX") || exit 1
churner=
# shellcheck disable=SC2317 # called by trap
cleanup() {
    if [ -n "$churner" ]; then
        kill "$churner" 2>/dev/null
        wait "$churner" 2>/dev/null
    fi
    rm -rf "$place"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM
cd "$place" || exit 1

failures=0
checks=0

# equal NAME EXPECTED ACTUAL
equal() {
    checks=$((checks + 1))
    [ "$2" = "$3" ] && return
    failures=$((failures + 1))
    printf 'FAILED: %s\n--- expected\n%s\n--- got\n%s\n' "$1" "$2" "$3"
}

# contains NAME PART TEXT
contains() {
    checks=$((checks + 1))
    case $3 in *"$2"*) return ;; esac
    failures=$((failures + 1))
    printf 'FAILED: %s\n--- expected to find\n%s\n--- in\n%s\n' "$1" "$2" "$3"
}

# run ARGUMENT... - the program's output in $out, its errors in $err, its exit status in $status.
run() {
    "$program" "$@" >"$place/out" 2>"$place/err" </dev/null
    status=$?
    out=$(cat "$place/out")
    err=$(cat "$place/err")
}

# usage_error PART ARGUMENT... - one line on stderr with PART in it, nothing on stdout, status 2.
usage_error() {
    part=$1
    shift
    run "$@"
    equal "status of: $*" 2 "$status"
    equal "output of: $*" '' "$out"
    equal "lines on stderr of: $*" 1 "$(wc -l <"$place/err" | tr -d ' ')"
    contains "message of: $*" "$part" "$err"
}

repeat() { # BYTE COUNT
    head -c "$2" /dev/zero | tr '\0' "$1"
}

# ------------------------------------------------------------------------------------------ the tree --
mkdir -p tree/sub/deep tree/none
printf 'int main int\nvoid foo_1 int\n\n\nint' >tree/plain.c
printf 'stra\303\237e na\303\257ve\r\nint;int\n9lives 42\n' >tree/sub/deep/utf8.txt
: >tree/sub/empty
printf 'text\0int\n' >tree/sub/binary
printf 'int' >"tree/$(printf 'caf\351')"
printf '\n\nint\n' >"tree/$(printf 'new\nline')"
printf 'int\n' >'tree/quote"back\slash'
{ repeat b 255; echo; repeat c 256; printf ' after\n'; } >tree/long
ln -s ../plain.c tree/sub/link.c
ln tree/plain.c tree/hard.c
ln -s nowhere tree/dangling
ln -s loop2 tree/loop1
ln -s loop1 tree/loop2
ln -s sub tree/linked_dir
ln -s . tree/self
mkfifo tree/fifo
ln -s fifo tree/fifo_link

# Pieces are 1 MiB: three with lines, of which the first ends inside the word "straddle" ...
{
    repeat '\n' 1048570
    printf 'a straddle b\nlineafter\n'
    repeat '\n' 1048576
    printf 'lastline'
} >tree/lines
# ... three without a line end, the second of them all one word, and one that starts with a word.
{
    printf 'edge '
    repeat d 2200000
    printf ' onelong\nend\n'
} >tree/oneline
{
    repeat ' ' 1048576
    printf 'start'
} >tree/starts

# The words that must be in the index, counted in another way, most frequent first.
expected=$(find tree -type f ! -name binary ! -name hard.c -exec sh -c 'for f; do cat "$f"; echo; done' - {} + |
    tr -cs 'A-Za-z0-9_\200-\377' '\n' |
    awk 'length > 0 && length <= 255' | sort | uniq -c | sort -k1,1nr -k2,2 | awk '{print $1, $2}')

# ------------------------------------------------------------------------------------- one whole index --
run tree --top 1000
equal 'status' 0 "$status"
equal 'no progress bar in a pipe' '' "$err"
top=$(printf '%s\n' "$out" | sed -n '/times  word/,/^$/p' | awk 'NR > 1 && NF {gsub(",", "", $1); print $1, $2}')
equal 'all words' "$expected" "$top"
words=$(printf '%s\n' "$expected" | wc -l | tr -d ' ')
postings=$(printf '%s\n' "$expected" | awk '{n += $1} END {print n}')
contains 'totals' "$words distinct words, $postings postings" "$out"
contains 'files' '9 files, ' "$out"
contains 'linked directories' '          2  symbolic links to directories' "$out"
contains 'dangling' '          3  symbolic links that lead nowhere' "$out"
contains 'special' '          2  pipes, sockets or devices' "$out"
contains 'duplicates' '          2  further names of files already counted' "$out"
contains 'binary' '          1  binary file' "$out"
contains 'empty' '          1  empty file' "$out"
contains 'long words' '          2  words over 255 bytes' "$out"

# ------------------------------------------------------------------------------------------- queries --
run tree --query int
equal 'query of int' "int: 9 times on 7 lines of 5 files
  tree/$(printf 'caf\351'):1
  tree/hard.c:1 (2 times)
  tree/hard.c:2
  tree/hard.c:5
  tree/new\\x0aline:3
  tree/quote\"back\\slash:1
  tree/sub/deep/utf8.txt:2 (2 times)" "$out"
run --query straddle lineafter lastline -- tree
equal 'lines of later pieces' 'straddle: 1 time on 1 line of 1 file
  tree/lines:1048571
lineafter: 1 time on 1 line of 1 file
  tree/lines:1048572
lastline: 1 time on 1 line of 1 file
  tree/lines:2097149' "$out"
run tree --query edge onelong end start foo_1 absent "$(printf 'stra\303\237e')" Int
equal 'words' "edge: 1 time on 1 line of 1 file
  tree/oneline:1
onelong: 1 time on 1 line of 1 file
  tree/oneline:1
end: 1 time on 1 line of 1 file
  tree/oneline:2
start: 1 time on 1 line of 1 file
  tree/starts:1
foo_1: 1 time on 1 line of 1 file
  tree/hard.c:2
absent: in no file
$(printf 'stra\303\237e'): 1 time on 1 line of 1 file
  tree/sub/deep/utf8.txt:1
Int: in no file" "$out"
equal 'status when a word is absent' 0 "$status"
awk 'BEGIN {for (i = 0; i < 5000; i++) print "many"}' >many
run many --query=many
equal 'lines of a capped answer' 22 "$(printf '%s\n' "$out" | wc -l | tr -d ' ')"
contains 'a capped answer' "  many:20
  $(printf '\342\200\246') and 4,980 more" "$out"

# ------------------------------------------------------- the same index from every allocator and thread --
checksum() { # ARGUMENT...
    run tree --json "$@"
    sed -n 's/.*"words": \([0-9]*\), "postings": \([0-9]*\), "checksum": \("[0-9a-f]*"\).*/\1 \2 \3/p' out
}
reference=$(checksum --allocator malloc --threads 1)
contains 'a checksum' "$words $postings" "$reference"
for allocator in tsmbr malloc mutex; do
    for threads in 1 2 8 64; do
        equal "index with $allocator on $threads threads" "$reference" \
            "$(checksum --allocator "$allocator" --threads "$threads")"
    done
done
# Threads that meet the same new words at the same time: each word still has one node.
mkdir same
awk 'BEGIN {for (i = 0; i < 20000; i++) print "w" i}' >same/0
for copy in 1 2 3 4 5 6 7 8 9; do
    cp same/0 same/$copy
done
for allocator in tsmbr malloc; do
    run same --allocator $allocator --threads 10
    contains "words in a race with $allocator" '20,000 distinct words, 200,000 postings, 10 threads' "$out"
    contains "blocks after a race with $allocator" ' 240,001 ' "$out"
done

run tree --compare --rounds 2 --threads 4
equal 'status of --compare' 0 "$status"
equal 'errors of --compare' '' "$err"
equal 'last line of --compare' 'The three indexes are equal.' "$(printf '%s\n' "$out" | tail -n 1)"
equal 'rows of --compare' 'malloc mutex tsmbr' \
    "$(printf '%s\n' "$out" | awk '/^(malloc|mutex|tsmbr) / {printf "%s%s", s, $1; s = " "}')"

# ---------------------------------------------------------------------------------------------- JSON --
if command -v python3 >/dev/null; then
    cat >check.py <<'END'
import json, os, sys
one = json.load(open("one.json", encoding="utf-8"))
lines = one["queries"][0]["lines"]
assert [os.fsencode(l["path"]) for l in lines] == [
    b"tree/caf\xe9", b"tree/hard.c", b"tree/hard.c", b"tree/hard.c", b"tree/new\nline",
    b'tree/quote"back\\slash', b"tree/sub/deep/utf8.txt"], lines
assert [(l["line"], l["count"]) for l in lines] == [(1, 1), (1, 2), (2, 1), (5, 1), (3, 1), (1, 1), (2, 2)], lines
assert one["queries"][1] == {"word": "stra\u00dfe", "count": 1, "files": 1,
                             "lines": [{"path": "tree/sub/deep/utf8.txt", "line": 1, "count": 1}]}
assert one["queries"][2]["lines"] == [] and one["files"] == 9 and one["top"][0] == {"word": "int", "count": 9}
assert one["skipped"]["dangling_links"] == 3 and one["equal"] is True
three = json.load(open("three.json", encoding="utf-8"))
assert [r["allocator"] for r in three["runs"]] == ["malloc", "mutex", "tsmbr"]
assert len({(r["checksum"], r["words"], r["postings"], r["blocks"], r["bytes_asked"]) for r in three["runs"]}) == 1
assert three["equal"] is True and three["paths"] == ["tree"]
END
    "$program" tree --json --query int "$(printf 'stra\303\237e')" absent >one.json
    "$program" tree --json --compare --rounds=1 >three.json
    equal 'JSON' '' "$(python3 check.py 2>&1)"
fi

# ------------------------------------------------------------------------------------ what goes wrong --
usage_error "unknown option '--nonsense'" --nonsense
usage_error "unknown option '-x'" -x
usage_error 'give a number from 1 to' --threads 0
usage_error 'give a number from 1 to' --threads 99999999999999999999999
usage_error 'give a number from 1 to' --threads 4x
usage_error 'give a number from 1 to' --top ten
usage_error 'needs a value' --threads
usage_error 'needs a value' --query
usage_error 'needs a value' --query --json
usage_error 'takes no value' --json=yes
usage_error 'give one of tsmbr' --allocator jemalloc
usage_error 'for example' --limit 10X
usage_error 'for example' --limit 99999999999999G
usage_error 'leave it out' --limit 1M --allocator malloc
usage_error 'leave out --allocator' --compare --allocator tsmbr
usage_error 'leave out --query' --compare --query int
usage_error 'add --compare' --rounds 2
usage_error 'cannot be in the index' --query foo-bar
usage_error 'cannot be in the index' --query "$(repeat x 256)"
usage_error 'a path is empty' ''

run --help
equal 'status of --help' 0 "$status"
contains '--help' 'usage: word_index' "$out"
run --version
contains '--version' 'word_index ' "$out"

run absent tree/plain.c
equal 'status with one path of two' 0 "$status"
contains 'a missing path' "cannot look at 'absent': No such file" "$err"
contains 'a missing path, counted' '1  path given that cannot be looked at' "$out"
for path in absent tree/none tree/fifo tree/dangling tree/loop1; do
    run "$path"
    equal "status with nothing to read: $path" 1 "$status"
    equal "output with nothing to read: $path" '' "$out"
    contains "message with nothing to read: $path" 'nothing to read' "$err"
done
run -- tree/self/sub/ tree//plain.c
equal 'status with a link given' 0 "$status"
if [ -e /proc/self/stat ]; then
    run /proc/self/stat --compare --rounds 1 # another text for each process
    equal 'status when indexes differ' 1 "$status"
    equal 'last line when indexes differ' 'The three indexes are NOT EQUAL.' "$(printf '%s\n' "$out" | tail -n 1)"
fi
if [ -e /proc/self/mem ] && [ -e /proc/version ]; then
    run /proc/self/mem tree/plain.c
    contains 'a read error' '1  file that could not be read' "$out"
    run /proc/self/mem
    equal 'status with a read error alone' 1 "$status"
    run /proc/version --query Linux
    contains 'a file that says it is empty' '  /proc/version:1' "$out"
fi

run tree --limit 64K
equal 'status at the limit' 1 "$status"
contains 'message at the limit' 'tsmbr: out of memory under --limit 65536' "$err"
equal 'output at the limit' '' "$out"
run tree --limit 1G --threads 2
equal 'status below the limit' 0 "$status"
run tree --compare --limit 5K
equal 'status of --compare at the limit' 1 "$status"
contains 'message of --compare at the limit' 'out of memory under --limit 5120' "$err"

# More than a pipe holds, so that the reader is gone before the end.
("$program" many --json --query many 2>err; echo $? >status) | :
status=$(cat status)
equal 'status when nobody reads' 1 "$status"
if [ -w /dev/full ]; then
    "$program" tree >/dev/full 2>err
    equal 'status when the disk is full' 1 "$?"
    contains 'message when the disk is full' 'cannot write the results' "$(cat err)"
fi
"$program" tree >&- 2>err
equal 'status without stdout' 1 "$?"

# ------------------------------------------------------------------------- files that change meanwhile --
mkdir churn
cp tree/plain.c churn/stays
(
    trap 'exit 0' TERM
    while :; do
        for i in 1 2 3 4 5 6 7 8; do
            cat tree/lines >"churn/$i"
            : >"churn/$i"
            printf 'int' >>"churn/$i"
            rm "churn/$i"
            mkfifo "churn/$i"
            rm "churn/$i"
        done
    done
) 2>/dev/null &
churner=$!
round=0
while [ $round -lt 20 ]; do
    run churn --threads 4 --query main
    equal 'status while files change' 0 "$status"
    contains 'a file that stays' '  churn/stays:1' "$out"
    round=$((round + 1))
done

[ $failures -eq 0 ] && printf 'word_index: %d checks passed\n' $checks && exit 0
printf 'word_index: %d of %d checks failed\n' $failures $checks
exit 1
