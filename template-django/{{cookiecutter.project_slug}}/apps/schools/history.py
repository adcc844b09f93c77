from simple_history import register

from apps.history.records import Records
from apps.schools.models import Grade, Membership, School, SchoolClass, Student, Term

# Reports are made from the others.
for model in (School, Membership, SchoolClass, Student, Term, Grade):
    register(model, records_class=Records)
