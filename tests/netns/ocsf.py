# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What OCSF 1.3.0 (schema.ocsf.io) asks of the classes and objects that moat emits: required attributes, types
and enum values, as a table; problems(event) lists what contradicts it."""

# attribute: type, or a set of an enum's values; "!" marks a required one
ENTITY = {"name": str, "uid": str}
USER = {"uid": str, "uid_alt": str, "name": str, "type_id": {0, 1, 2, 3, 99}}
IMAGE = {"uid!": str, "name": str, "tag": str, "path": str, "labels": list}
CONTAINER = {"uid": str, "name": str, "image": IMAGE, "runtime": str, "pod_uuid": str, "orchestrator": str,
             "hash": dict, "size": int, "tag": str, "network_driver": str}
FINGERPRINT = {"value!": str, "algorithm_id!": {0, 1, 2, 3, 4, 5, 6, 7, 99}, "algorithm": str}
FILE = {"name!": str, "type_id!": {0, 1, 2, 3, 4, 5, 6, 7, 99}, "path": str, "uid": str, "modified_time": int,
        "is_deleted": bool, "hashes": [FINGERPRINT], "owner": USER, "parent_folder": str, "size": int,
        "attributes": int, "type": str}
SESSION = {"uid": str, "uid_alt": str, "terminal": str}
PROCESS = {"pid": int, "uid": str, "name": str, "cmd_line": str, "created_time": int, "user": USER, "file": FILE,
           "container": CONTAINER, "namespace_pid": int, "auid": int, "session": SESSION, "tid": int,
           "terminated_time": int}
PROCESS["parent_process"] = PROCESS
METADATA = {"version!": str, "product!": {"vendor_name!": str, "name": str, "version": str, "uid": str},
            "event_code": str, "uid": str, "profiles": list, "sequence": int, "labels": list}
ENDPOINT = {"ip": str, "port": int, "hostname": str, "name": str, "uid": str, "svc_name": str,
            "interface_name": str, "type_id": int}
BASE = {"activity_id!": int, "activity_name": str, "category_uid!": int, "class_uid!": int, "type_uid!": int,
        "severity_id!": {0, 1, 2, 3, 4, 5, 6, 99}, "time!": int, "metadata!": METADATA, "status_id": {0, 1, 2, 99},
        "status": str, "status_detail": str, "status_code": str, "message": str, "count": int, "duration": int,
        "unmapped": dict, "start_time": int, "end_time": int, "enrichments": list, "observables": list}
SYSTEM = {**BASE, "device!": {"type_id!": {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 99}, "hostname": str},
          "actor!": {"process": PROCESS, "user": USER}}
NETWORK = {**BASE, "device": dict, "actor": {"process": PROCESS, "user": USER}, "src_endpoint": ENDPOINT,
           "dst_endpoint": ENDPOINT, "traffic": dict,
           "connection_info": {"direction_id!": {0, 1, 2, 3, 99}, "protocol_num": int, "protocol_name": str,
                               "protocol_ver_id": {0, 4, 6, 99}, "uid": str}}
# class: category, activities, attributes
CLASSES = {
    1001: (1, set(range(15)) | {99}, {**SYSTEM, "file!": FILE, "file_result": FILE, "file_diff": str,
                                      "access_mask": int, "create_mask": str, "component": str}),
    1003: (1, {0, 1, 2, 3, 4, 99}, {**SYSTEM, "kernel!": {"name!": str, "type_id!": {0, 1, 2, 99}, "path": str,
                                                         "system_call": str, "is_system": bool}}),
    1004: (1, set(range(10)) | {99}, {**SYSTEM, "process!": PROCESS}),
    1005: (1, {0, 1, 2, 99}, {**SYSTEM, "module!": {"load_type_id!": {0, 1, 2, 3, 4, 5, 99}, "file": FILE,
                                                   "function_name": str, "base_address": str}}),
    1007: (1, {0, 1, 2, 3, 4, 5, 99}, {**SYSTEM, "process!": PROCESS, "exit_code": int,
                                       "injection_type_id": {0, 1, 2, 99}, "requested_permissions": int,
                                       "actual_permissions": int}),
    2004: (2, {0, 1, 2, 3, 99}, {**BASE, "device": dict, "actor": dict, "evidences": list, "resources": list,
                                 "finding_info!": {"title!": str, "uid!": str}}),
    4001: (4, {0, 1, 2, 3, 4, 5, 6, 7, 99}, NETWORK),
    4003: (4, {0, 1, 2, 6, 99}, {**NETWORK, "query": dict, "query_time": int, "response_time": int, "rcode_id": int,
                                 "answers": list}),
}
# at least one of each
ANY = {id(PROCESS): ("pid", "uid"), id(CONTAINER): ("uid", "name"), id(USER): ("name", "uid")}


def walk(value, shape, path):
    """Problems of a value against a shape."""
    if isinstance(shape, set):
        if value not in shape or isinstance(value, bool):
            yield f"{path} is {value!r}, not one of {sorted(shape)}"
    elif isinstance(shape, list):
        for item in value if isinstance(value, list) else [None]:
            yield from walk(item, shape[0], path + "[]")
    elif isinstance(shape, type):
        if not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
            yield f"{path} is {value!r}, not {shape.__name__}"
    elif not isinstance(value, dict):
        yield f"{path} is no object"
    else:
        names = {name.rstrip("!"): inner for name, inner in shape.items()}
        for name in shape:
            if name.endswith("!") and name[:-1] not in value:
                yield f"{path}.{name[:-1]} is missing"
        if id(shape) in ANY and not any(name in value for name in ANY[id(shape)]):
            yield f"{path} has none of {ANY[id(shape)]}"
        for name, inner in value.items():
            if name not in names:
                yield f"{path}.{name} is no attribute"
            else:
                yield from walk(inner, names[name], f"{path}.{name}")


def problems(event):
    """What is wrong with an event, as texts; none: it is valid."""
    if event.get("class_uid") not in CLASSES:
        return [f"class {event.get('class_uid')} is unknown"]
    category, activities, shape = CLASSES[event["class_uid"]]
    found = list(walk(event, shape, "event"))
    if event.get("category_uid") != category:
        found.append(f"category {event.get('category_uid')}")
    if event.get("activity_id") not in activities:
        found.append(f"activity {event.get('activity_id')}")
    if event.get("activity_id") == 99 and not event.get("activity_name"):
        found.append("activity 99 without its name")
    if event.get("type_uid") != event["class_uid"] * 100 + event.get("activity_id", 0):
        found.append(f"type {event.get('type_uid')}")
    if event.get("metadata", {}).get("version") != "1.3.0":
        found.append("of another version")
    process = event.get("actor", {}).get("process", {})
    parts = process.get("uid", "").rsplit("-", 3)
    # exec_id: boot id, pid, start of the process, count of execs
    if process and (len(parts) != 4 or len(parts[0]) != 36 or parts[1] != str(process.get("pid"))
                    or not parts[3].isdigit()):
        found.append(f"uid {process.get('uid')} is no exec_id")
    return found
