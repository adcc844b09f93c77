from django.dispatch import Signal

# Students came into another class, all at once, which sends no post_save. Sent within the same
# transaction with students (a list).
students_moved = Signal()
