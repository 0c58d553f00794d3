// weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
//
// eventsource.mjs MODULE URL TYPE ...: read a stream with the EventSource of an
// npm package until it stops by itself, which is what 204 does to it; then say,
// in JSON, what came.
import { createRequire } from 'node:module';

const [module, url, ...types] = process.argv.slice(2);
const { EventSource } = createRequire(import.meta.url)(module);
const source = new EventSource(url);
const heard = [];
// Not every package keeps a process alive while it waits to come back.
const alive = setInterval(() => {}, 1000);

for (const type of types) {
  source.addEventListener(type, (event) => {
    heard.push([event.lastEventId, event.type, event.data]);
  });
}
source.onerror = () => {
  if (source.readyState === 2) {
    clearInterval(alive);
    console.log(JSON.stringify(heard));
  }
};
