"""rmtbench: RAG, cache-augmented generation or a recurrent memory transformer, for these documents on this machine?"""

__version__ = "0.1.0"
