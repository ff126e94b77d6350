"""Concord's services; each folder is one."""
