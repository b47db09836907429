// Package bus is the cluster: what origin, edges, client groups and dashboard
// tell each other, over NATS.
//
// # Subjects
//
// Every subject is a word of this table and one name. A name is any bytes, at
// most 1024 of them: A-Z, a-z, 0-9, '-' and '_' stand for themselves, every
// other byte is '%' and two upper-case hex digits, and the empty name is a '%'
// alone. The longest subject has 3,086 bytes and so fits the control line of
// 4,096 that NATS servers allow unless told otherwise.
//
//	marquee.item.CHANNEL   an item, to every edge that holds CHANNEL
//	marquee.node.NODE      NODE is here, every second
//	marquee.bye.NODE       NODE leaves
//	marquee.ping.NODE      request: is NODE there?
//	marquee.setup.NODE     request: change what the client group NODE does
//	marquee.stats.GROUP    what the clients of GROUP received
//
// # Payloads
//
// A payload is a JSON object in UTF-8 that begins with its version, "v", and
// the name of its sender's connection, "from". Members that are not known are
// ignored. A payload that does not decode, or has another version than 1, is
// counted, logged and otherwise ignored; a set-up is answered with an error.
// Durations end in their unit, times are RFC 3339.
//
// An item is what an origin posts to a control endpoint, a list of one. The
// subject says which channel it is for, and the item must agree:
//
//	marquee.item.headline-value
//	{"v":1,"from":"origin","items":[{"channel":"headline-value","id":"2","prev-id":"1","formats":{"http-response":{"code":200,"headers":[["Content-Type","application/json"]],"body":"{\"id\": 2}\n"}}}]}
//
// An announcement. Instance is another one each time a node starts; host, pid
// and since say who has the name when two want it. Receipt is there once
// something was published:
//
//	marquee.node.edge-1
//	{"v":1,"from":"edge-1","kind":"edge","name":"edge-1","region":"us-west-1","capacity":5000,"addresses":{"clients":"10.0.0.1:7999","control":"10.0.0.1:5561"},"version":"v3","host":"a","pid":71,"instance":"cs2BGy2t","since":"2026-08-01T01:43:45.187Z","load":{"held":5000,"connections":5001,"received":12,"errors":0},"receipt":{"id":"2","matched":5000,"written":4998,"queued":1,"dropped":1,"elapsed_ms":41.5}}
//
// A goodbye; the instance keeps a late one from removing a successor:
//
//	marquee.bye.edge-1
//	{"v":1,"from":"edge-1","instance":"cs2BGy2t"}
//
// A ping and its answer:
//
//	marquee.ping.edge-1
//	{"v":1,"from":"dashboard"}
//	{"v":1,"from":"edge-1","host":"a","pid":71,"instance":"cs2BGy2t","since":"2026-08-01T01:43:45.187Z"}
//
// A set-up and its answer, which has an error when it was refused:
//
//	marquee.setup.group-1
//	{"v":1,"from":"dashboard","count":5000,"url":"http://origin.example/headline/value/","connect":"10.0.0.1:7999"}
//	{"v":1,"from":"group-1","error":"5000 clients need 5064 files, the limit is 1024"}
//
// Statistics. The times are of the clients' host, and left out until a client
// has the id; received counts those who have it:
//
//	marquee.stats.group-1
//	{"v":1,"from":"group-1","group":"group-1","id":2,"body":"Flight 123 arriving","total":5000,"started":5000,"errored":0,"received":4999,"latency_ns":1500000,"first_at":"2026-08-01T01:43:45.19Z","last_at":"2026-08-01T01:43:45.26Z","mean_at":"2026-08-01T01:43:45.225Z"}
//
// Values that must outlive all processes are in the JetStream key-value bucket
// "marquee", as raw bytes. The bucket is made when the first value is kept;
// who wants it replicated makes it before.
//
// # Delivery
//
// Items are sent at most once. A process that was cut off, or that reads too
// slowly, loses some, and is told so: Config.Up and the lost function of
// Subscribe. It then asks the origin, which knows best.
package bus
