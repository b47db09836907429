// Reads a stream of events with the eventsource package until it is killed:
//
//   node eventsource.mjs URL
//
// Standard output is one line of JSON for each message.
import { EventSource } from 'eventsource';

const source = new EventSource(process.argv[2]);
source.addEventListener('message', (event) => console.log(event.data));
source.addEventListener('error', (event) => console.error(`error: ${event.code ?? ''} ${event.message ?? ''}`));

// The package lets the process end while it waits to come back.
setInterval(() => {}, 1 << 30);
