"""Labelled images written in the layouts that other tools read: COCO, YOLO segmentation, MVTec, PNG masks.

A layout is a function that takes pictures, one after the other, and gives files, so that no more than one picture is in
memory; :mod:`.folder` and :mod:`.zipped` take the files. The same pictures give the same bytes.
"""
