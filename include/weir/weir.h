/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_WEIR_H
#define WEIR_WEIR_H

/** @file All of weir. */

#include <weir/base.h>
#include <weir/cursor.h>
#include <weir/frame.h>
#include <weir/http.h>
#include <weir/hub.h>
#include <weir/log.h>
#include <weir/log_file.h>
#include <weir/stream.h>
#include <weir/subscriber.h>

#endif /* WEIR_WEIR_H */
