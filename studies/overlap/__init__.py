"""The studies of mixed recordings: what does the model rely on when a recording or noise corrupts the one it names?"""
