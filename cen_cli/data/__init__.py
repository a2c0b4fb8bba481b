"""Data sets of aligned image modalities: reading, one geometry for all of them, exact shuffling and loading.

Every data set is a `ViewDataset` (`views`); what a view, a sample and a batch hold is written in `sample`. Nothing is
imported here, so that the processes which render rooms load no torch.
"""
