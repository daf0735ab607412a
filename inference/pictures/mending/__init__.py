"""Pictures whose file is damaged beside the pixels, or does not come to its end.

:func:`.tidying.tidied` leaves of a file what its pixels need: damaged, oversized or missing side data is no
reason to refuse a picture. :func:`.rows.came` decodes a file that ends too soon and tells which rows really
came. No decoder says that; but what a file decides stays the same when whatever stands in for the missing
part is changed.
"""
