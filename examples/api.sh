# For a shell in which BATON and KEY are set, as `serve` prints them; needs curl and Python:
#   api METHOD PATH [BODY] [HEADER…]   sends a request; a problem is printed too, with a status that is not 0
#   get MEMBER                         prints a member of the JSON that it reads: get '["items"][0]["lead_id"]'
api() {
  local method=$1 path=$2 body=${3:-} header
  shift $(($# < 3 ? $# : 3))
  local options=(-sS --fail-with-body -X "$method" -H "Authorization: Bearer $KEY")
  [ -z "$body" ] || options+=(-H "Content-Type: application/json" -d "$body")
  for header in "$@"; do options+=(-H "$header"); done
  curl "${options[@]}" "$BATON$path"
}
get() { python3 -c 'import json, sys; print(eval("it" + sys.argv[1], {"it": json.load(sys.stdin)}))' "$1"; }
