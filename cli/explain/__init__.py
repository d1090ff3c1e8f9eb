"""`fourstep explain`: one image on its way through the four steps, in pictures and figures.

All that is shown comes from the functions that train and detect: nothing is computed twice.
"""
