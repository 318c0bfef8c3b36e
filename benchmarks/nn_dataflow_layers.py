"""What nn-dataflow says of layers: JSON from stdin, JSON to stdout.

Run by the interpreter of an environment that has nn-dataflow and not Horner; `benchmarks/independent.py` starts it.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from typing import Any

from nn_dataflow.core import (
    ConvLayer,
    Cost,
    InputLayer,
    MapStrategyEyeriss,
    Network,
    NNDataflow,
    NodeRegion,
    Option,
    PhyDim2,
    Resource,
)
from nn_dataflow.core import DataCategoryEnum as Data
from nn_dataflow.core import MemHierEnum as Level

WORDS = {"filters": Data.FIL, "maps": Data.IFM, "sums": Data.OFM}
LEVELS = {"register_file": Level.REGF, "inter_pe": Level.ITCN, "buffer": Level.GBUF, "dram": Level.DRAM}


def main() -> None:
    """Answer for every layer asked about."""
    asked = json.load(sys.stdin)
    resource, cost = _resource(asked["array"]), _cost(asked["energy"])
    options = Option(sw_gbuf_bypass=tuple(asked["bypass"]), opt_goal=asked["goal"])
    layers = [_layer(layer, asked["batch"], resource, cost, options) for layer in asked["layers"]]
    versions = {name: importlib.metadata.version(name) for name in ("nn-dataflow", "sympy")}
    json.dump({"versions": versions, "layers": layers}, sys.stdout)


def _resource(array: dict[str, Any]) -> Resource:
    """One node: an array of PEs with its buffer, and DRAM beside it. Sizes in words, rates in words per cycle."""
    place = {"origin": PhyDim2(0, 0), "dim": PhyDim2(1, 1)}
    dram = NodeRegion(type=NodeRegion.DRAM, **place)
    return Resource(
        proc_region=NodeRegion(type=NodeRegion.PROC, **place),
        dram_region=dram,
        src_data_region=dram,
        dst_data_region=dram,
        dim_array=PhyDim2(array["rows"], array["columns"]),
        size_gbuf=array["buffer"],
        size_regf=array["register_file"],
        array_bus_width=float("inf"),
        dram_bandwidth=array["dram_bandwidth"],
        no_time_mux=False,
    )


def _cost(energy: dict[str, float]) -> Cost:
    levels = [0.0] * Level.NUM
    for name, place in LEVELS.items():
        levels[place] = energy[name]
    return Cost(mac_op=energy["mac"], mem_hier=tuple(levels), noc_hop=0, idl_unit=0)


def _layer(layer: dict[str, Any], batch: int, resource: Resource, cost: Cost, options: Option) -> dict[str, Any]:
    """Search the schedule of one group of a layer; what is counted is of all groups."""
    groups, channels, outputs = layer["groups"], layer["channels"], tuple(layer["outputs"])
    network = Network(layer["name"])
    conv = ConvLayer(channels, layer["filters"], outputs, tuple(layer["kernel"]), layer["stride"])
    network.set_input_layer(InputLayer(channels, (conv.hifm, conv.wifm)))
    network.add(layer["name"], conv)
    tops, _ = NNDataflow(network, batch, resource, cost, MapStrategyEyeriss).schedule_search(options)
    found = tops[0][layer["name"]]
    accesses = found.scheme["access"]
    return {
        "name": layer["name"],
        "macs": round(groups * found.total_ops),
        "cycles": groups * found.total_proc_time,
        "energy": groups * found.total_cost,
        "accesses": {
            level: {words: groups * accesses[place][data] for words, data in WORDS.items()}
            for level, place in LEVELS.items()
        },
    }


if __name__ == "__main__":
    main()
