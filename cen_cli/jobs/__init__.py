"""The use cases behind the commands, in plain Python: plain arguments in, records of `cen_cli.results` out.

Every job takes `device` ("auto", "cpu", "cuda", "cuda:N" or "mps") where it computes, `data_root` in place of the
recipe's data.root, `changes` (dotted keys and their values, as `--set` takes them), and a `listener` that is told how
the work goes. Errors are those of `cen_cli.errors`.
"""
