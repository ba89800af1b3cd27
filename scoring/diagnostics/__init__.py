"""What a multiple-choice metric hides: choice log-likelihoods, and what scale does to them."""
