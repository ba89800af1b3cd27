"""What each part of a report is called, and how somebody who has read no paper is to read it."""

TEXTS = {
    "ccdf": (
        "How many samples follow compute",
        (
            "Each line falls from 1 to 0: at c it stands at the share of samples whose "
            "correlation with compute is above c. The further right, the more predictable. The "
            "light band in a line's colour is where that line would be in 95 % of the orders of "
            "the models, if their order meant nothing; the thin line is the mean of all orders. A "
            "band is wide where the samples move together: they are all seen by the same few "
            "models. In the table, ceiling mean is the highest mean that the ties of accuracy "
            "allow, and gamma mean a coefficient (from -1 to 1) that ties do not cap."
        ),
    ),
    "comparisons": (
        "At which step the effect of scale is lost",
        (
            "Two neighbouring steps from log-likelihood to accuracy, sample by sample. Difference "
            "is how much higher the first one's mean correlation with compute is; share higher, in "
            "how many samples it is; p value, how often a chance order of the models gives a "
            "difference at least as high. Spearman of raw log-likelihoods; the CSV file has all."
        ),
    ),
    "orderings": (
        "In how many tasks a step loses",
        (
            "Share of families and tasks in which the first score correlates more with compute "
            "than the second, by the kind of correlation."
        ),
    ),
    "levels": (
        "What scale does to each metric",
        (
            "Means over samples. Crosses are backtests: the accuracy of the largest models as "
            "predicted from the smaller ones, with 95 % intervals; the diamond is a forecast."
        ),
    ),
    "forecast": (
        "What larger models will do",
        (
            "Each method forecasts models that it has not seen: the largest ones (backtest, the "
            "truth stands under actual), and one of ten times the largest compute (forecast, "
            "nobody knows the truth). Low and high are the ends of a 95 % interval."
        ),
    ),
    "backtests": (
        "How well the largest models are predicted from the smaller ones",
        (
            "Each method saw the smaller models alone: the mean error of its accuracy, its log "
            "score, and how often its interval held the truth. The status says which fits have so "
            "few points that they would pass close to any: their errors are luck, good or bad."
        ),
    ),
    "fits": (
        "Curves through the means of the models",
        "Parameters of each curve with 95 % intervals, its points, and whether they are enough.",
    ),
    "masses": (
        "Correct against incorrect mass",
        (
            "A point is a sample under a model. Where the points of a vertical line lie far apart, "
            "the correct mass does not tell the incorrect one, and so not the accuracy."
        ),
    ),
    "trends": (
        "How fast correct and incorrect choices rise",
        (
            "Nats that a choice's log-likelihood gains with ten times the compute: mean and "
            "quantiles over samples, and the share that rises. If incorrect choices rise as fast "
            "as the correct one, the margin between them, and so accuracy, stands still."
        ),
    ),
    "rank_stability": (
        "Whether two models order the choices alike",
        (
            "Each model and the next larger one, then the first and the last. Kendall is 1 where "
            "all choices are in the same order and -1 where they are reversed; same top is the "
            "share of samples in which both find the same choice likeliest."
        ),
    ),
    "attribution": (
        "Which side changed the accuracy",
        (
            "The change from the first to the last model, divided between the correct choice and "
            "the incorrect ones (Shapley values of a game of two, with 95 % intervals)."
        ),
    ),
    "flips": (
        "What the second model gets wrong that the first got right",
        (
            "Two models of equal accuracy may be right on different samples. nfr (negative flips) "
            "is the share of samples that the first has right and the second wrong, pfr the other "
            "way round; nfr floor is the least that the two accuracies allow, nfr independent what "
            "unrelated errors would give; btc is the share of the first's right answers that the "
            "second keeps. mcnemar p is small where more flips go one way than luck would send."
        ),
    ),
    "reliability": (
        "Calibration",
        (
            "On the diagonal a model that is 80 % sure is right in 80 % of cases; below it, it is "
            "too sure."
        ),
    ),
    "label_errors": (
        "How many labels may be wrong",
        (
            "Error rate is the share of samples of which a model (consensus: the mean of all "
            "models) is confident that another choice is the correct one, with a 95 % interval "
            "over samples. A weak model is confidently wrong as well: the consensus of good models "
            "is worth more, and only a person who looks at the samples knows."
        ),
    ),
    "noise_crossings": (
        "How many wrong labels it takes for two models to change places",
        (
            "Noise is the share of labels that are wrong now. If that share grew to noise at "
            "crossing, the two models would be equally accurate on corrected labels; a dash says "
            "that one stays ahead of the other. n draws crossing says in how many of the "
            "bootstrap's n draws they change places; low and high are a 95 % interval over those."
        ),
    ),
    "min_k": (
        "Whether a text was in the training data",
        (
            "Min-K%: the mean surprise of the ratio of a text's tokens that surprise the model "
            "most; a text that was trained on has few that do. auroc says how well this tells "
            "texts of the training data from others (0.5 is chance, 1 always), tpr at 5 fpr which "
            "share of them is found when 5 % of the others are accused. Both need texts of which "
            "it is known."
        ),
    ),
    "frequency": (
        "Whether a model knows what it has seen more often",
        (
            "Slope is the accuracy gained when a concept occurs ten times as often, r how closely "
            "the concepts follow that line (Pearson). The policy says what is done with concepts "
            "that never occur; within compares concepts of the same data set alone, since pooled "
            "ones also differ by their data sets."
        ),
    ),
}
"""By section: a title, and a text."""
