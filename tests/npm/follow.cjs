// SPDX-License-Identifier: MIT
// Follows a stream with an EventSource, and prints what comes as lines of JSON.
"use strict";
const { EventSource } = require("eventsource");

const source = new EventSource(process.argv[2]);
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");

for (const topic of process.argv[3].split(",")) {
  source.addEventListener(topic, (event) =>
    say({ event: topic, id: event.lastEventId, data: event.data }));
}
source.onopen = () => say({ open: true });
source.onerror = (event) => {
  if (source.readyState === EventSource.CLOSED) {
    say({ closed: event.message || "" });
    process.exit(1);
  }
};
