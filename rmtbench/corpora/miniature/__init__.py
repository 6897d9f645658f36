"""The miniature: an invented world told in English, seeded, in the styles of SQuAD, HotpotQA and TriviaQA."""
