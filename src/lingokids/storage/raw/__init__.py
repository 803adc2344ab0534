"""Raw objects, from where they lie to typed lines in the engine.

``stores`` lists and fetches what a folder holds, ``buckets`` what a bucket does; ``objects`` is the
dataset; ``lines`` cuts bytes into lines, ``records`` hands them to the engine, parsed; ``memory``
bounds what is held meanwhile, and ``progress`` shows how far it is.
"""
