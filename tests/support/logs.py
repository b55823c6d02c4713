"""Logs read back with the libraries that they are for."""

import struct


def tensorboard(run):
    """(scalars, texts) of a run's evaluations: (step, value) pairs and texts by tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard" / "evaluation"), {"scalars": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    scalars = {tag: [(each.step, each.value) for each in events.Scalars(tag)] for tag in tags["scalars"]}
    texts = {tag: [each.tensor_proto.string_val[0].decode() for each in events.Tensors(tag)] for tag in tags["tensors"]}
    return scalars, texts


def wandb_runs(run):
    """(id, history) of each offline run in a run's folder, in the order of their names: a log of LevelDB's format."""
    found = []
    for path in sorted(run.glob("wandb/offline-run-*/*.wandb")):
        rows, name = [], None
        for record in _records(path.read_bytes()):
            if record.HasField("run"):
                name = record.run.run_id
            if record.HasField("history"):
                rows.append({"/".join(each.nested_key) or each.key: each.value_json for each in record.history.item})
        found.append((name, rows))
    return found


def _records(data):
    from wandb.proto.wandb_internal_pb2 import Record

    place, whole = 7, b""  # after the file's own header
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # the record is complete
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""
