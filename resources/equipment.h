/* SPDX-License-Identifier: MIT */
#pragma once

/* The query of GET /v1/stream. */
enum { FB_STREAM_TOPICS, FB_STREAM_LAST_EVENT_ID, FB_STREAM_QUERY_COUNT };
