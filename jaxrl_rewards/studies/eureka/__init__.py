"""Eureka: reward programs found by search, against rewards by people and against chance.

Programs are data, so the candidates of all searches and all their training seeds run through one
compiled training. Source: Ma et al., ICLR 2024, arXiv 2310.12931; the proposer here is offline.
"""
