"""The paper's mathematics written out plainly.

Every condition at its step, nothing cached, hoisted, batched over steps or fused.

Functions of this package take the weights of `dima`'s modules and the random numbers they are to use, and
nothing else of `dima` but its configuration and its records of data. They are what `dima` is checked against
(same weights, same noise, same numbers) and what its speed is a ratio to.
"""
