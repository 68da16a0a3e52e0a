/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* All detectors, in the order in which they see a window. */
#include "detect/detector.h"

/* clang-format off */
const struct moat_detector_ops *const moat_detectors[] = {
	&moat_detector_volumetric,
	&moat_detector_scan,
	&moat_detector_anomaly,
	&moat_detector_outbound,
	&moat_detector_carpet,
	&moat_detector_service,
	&moat_detector_fanout,
	&moat_detector_brute,
	&moat_detector_miner,
	&moat_detector_names,
	&moat_detector_lateral,
	&moat_detector_beacon,
	&moat_detector_stealer,
	&moat_detector_implant,
	NULL,
};
/* clang-format on */
