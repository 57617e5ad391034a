"""PPO solves the control tasks; time limits matter; group methods agree where theory says so.

Sources: PPO (arXiv 1707.06347), GAE (1506.02438), GRPO (2402.03300), RLOO (2402.14740), Dr.GRPO
(2503.20783), REINFORCE++ (2501.03262).
"""
