"""What does fine-tuning change? Every schedule, trained on the same images and compared.

    FOURSTEP_SHARED=../shared python -m benchmarks.study --seeds 1 2 3

runs the stages themselves, each as DVC runs it. A stage that several schedules have in common runs
once for a seed, and one that is done is not run again: an interrupted study goes on. The results
are a page with table and plots, the same as JSON, and a run in MLflow for each schedule and seed.
"""
