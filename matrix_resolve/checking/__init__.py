"""Can other servers reach this one, and what should its admin change?"""
