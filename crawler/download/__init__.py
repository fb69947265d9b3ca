"""Large files, fetched in segments and verified as they arrive: right or absent.

`Plan` says who fetches which bytes next, `judge` what an answer is worth, `Identity` whether it is still the same file,
`Seams` whether neighbouring pieces fit together. These think only: they touch no network, disk or clock.
"""
