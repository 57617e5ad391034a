"""Motion retargeting from sparse inputs: legs that nothing senses, in simulation.

A planar character, driven by servos and standing on its feet only, follows a user of whom three
points are known: head and hands. The full reward with an asymmetric critic stands beside arms that
lack one part each, all with the same motions, random numbers and budget. Source: Reda et al.,
2023, arXiv 2307.01938.
"""
