"""The fusion baselines that the paper compares with (S Section 2, S-Table 6).

The contract of a fusion block: built from (channels C, modalities M); `forward(x [M*B, C, h, w])`, modality-major, ->
one map [B, C, h, w]. `placement` says behind which stages of an encoder blocks stand.
"""
