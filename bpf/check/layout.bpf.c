/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One of each struct that crosses between BPF and user space, so that the object's BTF describes
 * them all. Never loaded: tests/check/layout.py compares it with what the C compiler makes of the
 * same headers, and fails if a struct of theirs is missing here.
 */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "moat/cell.h"
#include "moat/challenge.h"
#include "moat/egress.h"
#include "moat/event.h"
#include "moat/event_file.h"
#include "moat/event_kernel.h"
#include "moat/event_net.h"
#include "moat/forward.h"
#include "moat/gate.h"
#include "moat/limit.h"
#include "moat/packet.h"
#include "moat/rule.h"
#include "moat/stage.h"
#include "moat/syscall.h"
#include "moat/types.h"

#define LAYOUT(name) struct name layout_##name

LAYOUT(moat_addr);
LAYOUT(moat_prefix);
LAYOUT(moat_headers);
LAYOUT(moat_counter);
LAYOUT(moat_session);
LAYOUT(moat_rate);
LAYOUT(moat_share);
LAYOUT(moat_profile);
LAYOUT(moat_profile_limit);
LAYOUT(moat_profile_share);
LAYOUT(moat_source_profile);
LAYOUT(moat_row_bucket);
LAYOUT(moat_row_share);
LAYOUT(moat_stage_tables);
LAYOUT(moat_match);
LAYOUT(moat_rule);
LAYOUT(moat_bits);
LAYOUT(moat_rule_entry);
LAYOUT(moat_rule_count);
LAYOUT(moat_rule_tables);
LAYOUT(moat_limit);
LAYOUT(moat_limit_share);
LAYOUT(moat_known);
LAYOUT(moat_siphash);
LAYOUT(moat_challenge_key);
LAYOUT(moat_challenge_state);
LAYOUT(moat_challenge_counters);
LAYOUT(moat_challenge_cpu);
LAYOUT(moat_validated);
LAYOUT(moat_cell);
LAYOUT(moat_cell_gain);
LAYOUT(moat_cell_head);
LAYOUT(moat_gate_ctl);
LAYOUT(moat_gate_counters);
LAYOUT(moat_gate_pulses);
LAYOUT(moat_gate_port_record);
LAYOUT(moat_gate_pulse);
LAYOUT(moat_gate_pulses);
LAYOUT(moat_sample);
LAYOUT(moat_process);
LAYOUT(moat_task);
LAYOUT(moat_event);
LAYOUT(moat_event_task);
LAYOUT(moat_file);
LAYOUT(moat_event_exec);
LAYOUT(moat_event_exit);
LAYOUT(moat_event_cgroup);
LAYOUT(moat_call);
LAYOUT(moat_event_act);
LAYOUT(moat_event_settings);
LAYOUT(moat_event_file);
LAYOUT(moat_event_kernel);
LAYOUT(moat_event_net);
LAYOUT(moat_event_budget);
LAYOUT(moat_event_suppressed);
LAYOUT(moat_event_counters);
LAYOUT(moat_syscall_entry);
LAYOUT(moat_forward_counters);
LAYOUT(moat_egress_counters);
LAYOUT(moat_egress_slot);
LAYOUT(moat_egress_key);

char LICENSE[] SEC("license") = "Dual BSD/GPL";
