// Package route reads and asks the routes file: which origin a request goes to,
// and what is done to it on the way. The file is written as for Pushpin (GRIP
// §10), with a few options more. The package is data and a codec: it opens no
// file and no connection, and it knows nothing of the rest of Marquee.
//
// A line is one [Route]: a condition, and one [Target] or more.
//
//	CONDITION[,OPTION...] TARGET[,OPTION...] ...
//
//	condition   the host that the client asked for, without port, or * for any
//	            host; empty for a route that is only taken by its id
//	target      host:port, [v6]:port, or test; those behind the first are for
//	            when the ones before cannot be reached
//	option      name, or name=value
//
// Spaces and tabs stand between condition and targets. What stands behind # is
// a comment, and blank lines mean nothing. Any part may be in double quotes, in
// which \\ and \" are the only escapes; then it may contain spaces, commas and #.
//
// Options of a condition:
//
//	proto=http|ws            only requests of this kind
//	ssl=yes|no               only requests with TLS, or only those without
//	path_beg=PATH            only paths that begin so
//	id=NAME                  the route's name, in metrics and logs
//	replace_beg=PATH         to the origin, instead of the beginning
//	path_rem=N               to the origin, without the path's first N bytes
//	as_host=HOST             to the origin, under this host
//	header="NAME: VALUE"     to the origin, with this field; without a value,
//	                         without the field; may be repeated
//	orig_headers             to the origin, with a copy of every field
//	prefix=TEXT              goes before the name of every channel
//	no_grip                  answers pass through, whatever they say
//	sig_iss=TEXT, sig_key=K  for Grip-Sig
//	debug                    errors say to the client what was wrong
//	log_level=N              0 errors, 1 warnings, 2 information, 3 all
//	aco                      answers are for every Origin, and JSON-P is spoken
//	jsonp_mode=extended|basic, jsonp_cb=, jsonp_body=, jsonp_defcb=,
//	jsonp_defmethod=         how JSON-P is spoken, see [JSONP]
//	session, sockjs=PATH, sockjs_as_path=PATH
//	                         kept for WebSocket
//
// and of Marquee alone, for streams whose clients read too slowly:
//
//	slow=POLICY              disconnect, drop-oldest or conflate
//	slow_bytes=N             how much may wait for one connection behind the
//	                         message that is being sent; 65536 by default
//	slow_channel=PATTERN:POLICY
//	                         the policy for channels of which * in the pattern
//	                         may be any text; may be repeated, the first that
//	                         fits counts
//
// and of requests, to bound what they may cost:
//
//	max_head=N               how many bytes the request line and the fields may
//	                         have; more is answered 431
//	max_body=N               how many bytes the content may have, also where the
//	                         request does not say; more is answered 413
//
// Options of a target:
//
//	ssl                      over TLS
//	insecure                 its certificate is not verified
//	host=HOST                its Host field, and its certificate's name
//	trust_connect_host       its certificate may be for the host connected to
//	untrusted                not if it has a private address
//	client_cert=F, client_key=F
//	                         the edge's certificate for it
//	ca=FILE                  the authorities of which its certificate may be,
//	                         in place of those that the machine trusts; of
//	                         Marquee alone
//	over_http, one_event, sub=CHANNEL (may be repeated)
//	                         kept for WebSocket
//
// Where Pushpin logs a bad line and goes on without it, a bad line here makes
// the file bad: half of a routes file sends requests to where they were not
// meant to go.
package route
