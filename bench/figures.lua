-- SPDX-License-Identifier: MIT
-- What all scripts of wrk here end with: its figures as one line of JSON, for bench/generators.py.

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      'figures {"requests": %d, "microseconds": %d, "refused": %d, "broken": %d, ' ..
      '"p50_us": %d, "p99_us": %d, "max_us": %d}\n',
      summary.requests, summary.duration, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50), latency:percentile(99), latency.max))
end
