/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the engine's tests begin with: a configured engine that has learned scripted legitimate traffic. */
#ifndef MOAT_TESTS_SCENARIO_H
#define MOAT_TESTS_SCENARIO_H

#include "tests/harness/unit.h"
#include "tests/unit/detect/traffic.h"

#define SECONDS(n) ((uint32_t)((n) * 1e9 / (double)TRAFFIC_WINDOW_NS))
#define LEARN_S 12

/* The one engine and its traffic; a test begins and ends it. */
extern struct traffic traffic;

struct moat_detect_config lab_config(void);

/* Legitimate traffic as always, for so long. */
void legit_for(double seconds);

/* A fresh engine past its learning. `sees_answers`: it is shown the servers' packets, too. */
void begin_learned(bool sees_answers);

/* Ends a scenario in which nothing may have been found. */
void expect_nothing(const char *what);

#endif
