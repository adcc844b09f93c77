from django.dispatch import Signal

# Rows were written in bulk, which sends no post_save. Sent within the same transaction with
# sender (the model), created, updated (lists of instances), user and reason.
rows_written = Signal()
