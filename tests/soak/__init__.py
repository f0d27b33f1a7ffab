"""A small world of toy recipes is built over and over while everything goes wrong that may go wrong on a machine."""
