-- sessions/end_of: end the sessions that a back-channel logout names: one session of the provider, or all of a person.
delete from access.session
using access.person
where
    session.person_id = person.id
    and person.issuer = :issuer
    and (:subject = '' or person.subject = :subject)
    and (:provider_session = '' or session.provider_session = :provider_session)
returning
    person.id::text as id,
    person.name
