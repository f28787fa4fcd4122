"""Coverage-guided fuzzing: hostile bytes cause no exception, show no secret and break no contract.

Each ``fuzz_<name>.py`` has one ``check(data)`` that raises if a property does not hold. It runs

- in every test run over the seeds in ``corpus/<name>`` (``test_corpus.py``), without atheris;
- under atheris: ``python tests/fuzz/fuzz_http.py -max_total_time=60 tests/fuzz/corpus/http``, with libFuzzer's options;
- all of them by ``python tests/fuzz/run.py --seconds 60``.
"""
