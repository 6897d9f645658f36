"""Recurrent memory: a pretrained model reads a text segment by segment and keeps a few memory tokens of all before."""
