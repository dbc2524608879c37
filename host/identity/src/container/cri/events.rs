//! What happens to containers and sandboxes, as their runtime tells it: by the CRI's events, or by containerd's own.
//! Asks for nothing about them.

use prost::Message as _;
use tokio::sync::mpsc;
use tracing::debug;

use super::{
    Server,
    api::{
        containerd::{Envelope, SubscribeRequest, TaskEvent},
        runtime::{ContainerEventResponse, ContainerEventType, GetEventsRequest},
    },
    grpc::{self, events_client, runtime_client},
};

/// One that happened to the container or sandbox with this id.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Event {
    Started(String),
    Ended(String),
}

/// Passes the events on for as long as there are any. A server that tells none is asked instead.
pub(super) async fn listen(server: Server, events: mpsc::Sender<Event>) {
    // containerd tells each of its CRI events to one listener only (containerd issue 7318): we would take them from the kubelet.
    let result = match server.name.as_deref() {
        Some("containerd") => of_containerd(&server, &events).await,
        _ => of_cri(&server, &events).await,
    };
    match result {
        Err(error) if !error.is_unimplemented() => {
            debug!(%error, "no more CRI events: the runtime is asked for each container")
        }
        _ => debug!("the CRI runtime has no events: it is asked for each container"),
    }
}

async fn of_cri(server: &Server, events: &mpsc::Sender<Event>) -> Result<(), grpc::Error> {
    let mut client = runtime_client(server.connection.clone());
    let answers = client.get_container_events(GetEventsRequest {}).await?;
    let mut answers = answers.into_inner();
    while let Some(answer) = answers.message().await? {
        if events.send(of_answer(answer)).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn of_answer(answer: ContainerEventResponse) -> Event {
    let kind = answer.container_event_type();
    let id = answer.container_id;
    match kind {
        ContainerEventType::ContainerCreatedEvent | ContainerEventType::ContainerStartedEvent => {
            Event::Started(id)
        }
        ContainerEventType::ContainerStoppedEvent | ContainerEventType::ContainerDeletedEvent => {
            Event::Ended(id)
        }
    }
}

async fn of_containerd(server: &Server, events: &mpsc::Sender<Event>) -> Result<(), grpc::Error> {
    let topics = [TASK_START, TASK_DELETE];
    let request = SubscribeRequest {
        filters: topics
            .map(|topic| format!(r#"namespace=="k8s.io",topic=="{topic}""#))
            .to_vec(),
    };
    let mut client = events_client(server.connection.clone());
    let mut answers = client.subscribe(request).await?.into_inner();
    while let Some(envelope) = answers.message().await? {
        if let Some(event) = of_envelope(&envelope)
            && events.send(event).await.is_err()
        {
            break;
        }
    }
    Ok(())
}

fn of_envelope(envelope: &Envelope) -> Option<Event> {
    let body = envelope.event.as_ref()?;
    let id = TaskEvent::decode(&*body.value).ok()?.container_id;
    match &*envelope.topic {
        TASK_START => Some(Event::Started(id)),
        TASK_DELETE => Some(Event::Ended(id)),
        _ => None,
    }
}

/// A container's or sandbox's first process was started; others in it are told by another name.
const TASK_START: &str = "/tasks/start";
/// It has ended.
const TASK_DELETE: &str = "/tasks/delete";

#[cfg(test)]
mod tests {
    use super::{super::api::containerd::Any, *};

    #[test]
    fn what_the_cri_tells_of_a_container() {
        // CONTAINER_STOPPED_EVENT is 2, and CREATED, which is 0, is left out of the message.
        let told = |bytes: &[u8]| of_answer(ContainerEventResponse::decode(bytes).unwrap());
        assert_eq!(told(b"\x0a\x03abc"), Event::Started("abc".into()));
        assert_eq!(told(b"\x0a\x03abc\x10\x01"), Event::Started("abc".into()));
        for ended in [2, 3] {
            let bytes = [&b"\x0a\x03abc\x10"[..], &[ended]].concat();
            assert_eq!(told(&bytes), Event::Ended("abc".into()));
        }
    }

    #[test]
    fn what_containerd_tells_of_a_task() {
        let envelope = |topic: &str, value: &[u8]| Envelope {
            topic: topic.into(),
            event: Some(Any {
                value: value.into(),
            }),
        };
        // The id, then a pid as a number.
        let task = b"\x0a\x03abc\x10\x2a";
        let told = |topic, value: &[u8]| of_envelope(&envelope(topic, value));
        assert_eq!(
            told("/tasks/start", task),
            Some(Event::Started("abc".into()))
        );
        assert_eq!(
            told("/tasks/delete", task),
            Some(Event::Ended("abc".into()))
        );
        assert_eq!(told("/tasks/oom", task), None);
        assert_eq!(told("/tasks/delete", b"\x0a\x7f"), None);
        assert_eq!(of_envelope(&Envelope::default()), None);
    }
}
